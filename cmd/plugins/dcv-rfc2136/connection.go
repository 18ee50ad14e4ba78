package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// idleFor is how long a connection is kept that nobody uses: long enough for the messages of one record and of many that are
// published at once, and far below what name servers allow (RFC 7766 section 6.2.3 asks clients to be brief).
const idleFor = 2 * time.Second

// connection is a connection to the name server. It carries one message at a time.
type connection struct {
	net.Conn
	in  *bufio.Reader
	end *time.Timer // while it is idle
}

func newConnection(c net.Conn) *connection {
	return &connection{Conn: c, in: bufio.NewReaderSize(c, 1<<10)}
}

// Read reads the length of a message and the message itself in one go where they come in one.
func (c *connection) Read(p []byte) (int, error) { return c.in.Read(p) }

// ask sends a message and reads the reply, which may come with an error about its signature. Without one the connection is of no
// use any more; usable reports that it can carry another message.
func (c *connection) ask(ctx context.Context, m *dns.Msg, secrets map[string]string) (reply *dns.Msg, usable bool, err error) {
	// Whatever ends the context ends the reading.
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	once := &dns.Conn{Conn: c, TsigSecret: secrets} // it would sign a second message as if that went on with the first one
	if err = once.WriteMsg(m); err != nil {
		err = fmt.Errorf("send: %w", err)
	} else if reply, err = once.ReadMsg(); reply == nil {
		err = fmt.Errorf("receive: %w", err)
	}
	undisturbed := stop()
	switch {
	case reply == nil:
		return nil, false, err
	case reply.Id != m.Id || !reply.Response || reply.Opcode != m.Opcode:
		return nil, false, errors.New("the reply belongs to another question")
	default:
		return reply, undisturbed && err == nil && c.in.Buffered() == 0, err
	}
}

// idle are connections that wait for the next message.
type idle struct {
	mu   sync.Mutex
	list []*connection // the latest at the end
}

// take returns the connection that was used last, nil where there is none. The server may have closed it.
func (i *idle) take() *connection {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.list) == 0 {
		return nil
	}
	last := len(i.list) - 1
	c := i.list[last]
	i.list = slices.Delete(i.list, last, last+1)
	c.end.Stop() // too late, it finds that the connection is not idle any more
	return c
}

// keep lets a connection wait, for a while.
func (i *idle) keep(c *connection) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.list = append(i.list, c)
	c.end = time.AfterFunc(idleFor, func() { i.drop(c) })
}

func (i *idle) drop(c *connection) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if at := slices.Index(i.list, c); at >= 0 {
		i.list = slices.Delete(i.list, at, at+1)
		_ = c.Close() // all was said
	}
}
