// Package capython holds the test that runs the conformance suite against the CA plugin in Python beside it, which
// shows that the plugin contract is open to other languages.
package capython
