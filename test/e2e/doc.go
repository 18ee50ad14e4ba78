// Package e2e tests the whole daemon from outside: the real binary as a process, with real plugin processes, a real
// control socket, real web servers, and a shop that counts what is bought. It holds tests only.
package e2e
