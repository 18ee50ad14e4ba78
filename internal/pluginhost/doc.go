// Package pluginhost finds, verifies, launches, watches, restarts and stops plugins.
//
// One process serves one CA account or one DCV profile (an Instance). It is started by the first call that needs it, or by Wake,
// and stopped when it has been idle, so a daemon at rest has no plugin process and no goroutine for one.
//
// # What runs
//
// A plugin is an executable ca-NAME or dcv-NAME in one folder. Before every launch its real path must lie in that
// folder, and the file, the folder and every folder above it must belong to root or to the daemon's user and be
// writable by nobody else. The file is opened once; what is checked, hashed against the optional pin and executed is
// that open file, by its descriptor, so no exchange of the name in between can run other bytes. Only root and the
// daemon's user can write into an open file, and a file that changed between the check and the end of its start is not
// used. A private copy would need a place that allows executing, which /run often does not, and twice the room.
//
// # How it runs
//
// The environment is the instance's own variables, PATH, LANG, a private TMPDIR and what the handshake needs: nothing
// of the daemon's. The socket lies in a folder of mode 0700, both sides prove themselves by one-time certificates
// (AutoMTLS), and the process leads its own process group. The kernel kills it when the daemon dies, however that
// happens: the parent-death signal follows the thread that forked, so one thread that lives as long as the Host starts
// every plugin. What a plugin starts itself is killed with its process group when the plugin ends while the daemon
// lives; if the daemon is killed by SIGKILL at that moment, ending it is left to the service manager's control group.
//
// # When it fails
//
// A plugin that crashes, hangs, talks garbage or grows beyond its memory is killed alone and started again by the next
// call after a growing delay; one that fails too often is quarantined until its file is replaced, Release is called or
// time has passed. A call that could not be delivered fails with pluginapi.Unavailable, "nothing was done"; a
// PlaceOrder that may have been delivered and has no answer fails with pluginapi.UnknownOutcome.
package pluginhost
