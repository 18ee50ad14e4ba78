// Package restca is what plugins for CAs with a REST API have in common: a client that keeps to the API's limits and
// sends what costs money once, failures that say whether anything can have been done, JSON read as loosely as such APIs
// write it, chains put together from what a download holds, and the settings that every such account has.
//
// What is an API's own stands in a Dialect: how a request is signed, how an answer says that something is wrong, and what
// its codes mean. docs/rest-ca.md is the guide.
package restca
