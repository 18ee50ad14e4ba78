package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
)

// maxConnections is how many connections one user may hold: a user without rights must not shut root out.
const maxConnections = 32

// peerCredentials are gRPC credentials that ask the kernel who is at the other end of a unix socket.
type peerCredentials struct {
	mu   sync.Mutex
	open map[uint32]int // connections by user
}

// peerInfo is what the handshake found.
type peerInfo struct {
	credentials.CommonAuthInfo
	caller Caller
}

// AuthType names the kind of credentials.
func (peerInfo) AuthType() string { return "unix-peer" }

// ServerHandshake reads the peer's credentials.
func (p *peerCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	caller, err := callerOf(conn)
	if err != nil {
		return nil, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[caller.UID] >= maxConnections {
		return nil, nil, fmt.Errorf("user %d holds %d connections already", caller.UID, maxConnections)
	}
	p.open[caller.UID]++
	info := peerInfo{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, caller: caller}
	return &countedConn{Conn: conn, leave: func() { p.leave(caller.UID) }}, info, nil
}

func (p *peerCredentials) leave(uid uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[uid]--; p.open[uid] == 0 {
		delete(p.open, uid)
	}
}

type countedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close closes the connection and no longer counts it.
func (c *countedConn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}

// ClientHandshake is for the other side and not used.
func (p *peerCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("unix peer credentials are for servers")
}

// Info describes the credentials.
func (p *peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix-peer"}
}

// Clone returns the credentials themselves: the counters are for all.
func (p *peerCredentials) Clone() credentials.TransportCredentials { return p }

// OverrideServerName has no meaning here.
func (p *peerCredentials) OverrideServerName(string) error { return nil }

// callerOf asks the kernel who made a connection (unix(7): SO_PEERCRED, SO_PEERGROUPS).
func callerOf(conn net.Conn) (Caller, error) {
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return Caller{}, errors.New("not a unix socket")
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return Caller{}, fmt.Errorf("peer credentials: %w", err)
	}
	var caller Caller
	var inner error
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			inner = err
			return
		}
		caller = Caller{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}
		caller.Groups, inner = peerGroups(fd)
	})
	if err = errors.Join(err, inner); err != nil {
		return Caller{}, fmt.Errorf("peer credentials: %w", err)
	}
	return caller, nil
}

// peerGroups reads the supplementary groups the peer had when it connected. Package unix has no call for it.
func peerGroups(fd uintptr) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // as unsafe.Pointer's rule 4 wants it
		switch {
		case errno == 0:
			return slices.Clip(groups[:size/4]), nil
		case errno == unix.ERANGE && int(size/4) > len(groups): // size is now what it takes
			groups = make([]uint32, size/4)
		case errno == unix.ENOPROTOOPT: // before Linux 4.13: the group of the process alone counts
			return nil, nil
		default:
			return nil, errno
		}
	}
}
