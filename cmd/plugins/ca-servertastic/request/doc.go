// Package request knows what can be ordered from ServerTastic: the parameters of its calls generatetoken, place and
// reissue, the rules between them, and the names that its pages do not tell. It makes the calls' parameters and reaches no
// network.
package request
