// Package packed keeps values one after the other in a string: what there is a hundred thousand times of, and is looked at
// seldom, takes a third of the room so, and the garbage collector has one thing to mark in the place of many.
package packed

import (
	"encoding/binary"
	"time"
)

// Writer appends values one after the other. Convert it to a string for a Reader.
type Writer []byte

// Number appends a number; one near zero costs a byte.
func (w *Writer) Number(n int64) { *w = binary.AppendVarint(*w, n) }

// Text appends a text.
func (w *Writer) Text(s string) {
	w.Number(int64(len(s)))
	*w = append(*w, s...)
}

// Texts appends a list of texts.
func (w *Writer) Texts(list []string) {
	w.Number(int64(len(list)))
	for _, s := range list {
		w.Text(s)
	}
}

// Bytes appends bytes whose number is known to who reads them.
func (w *Writer) Bytes(b []byte) { *w = append(*w, b...) }

// Flag appends a boolean.
func (w *Writer) Flag(b bool) {
	if b {
		w.Number(1)
	} else {
		w.Number(0)
	}
}

// Time appends a time without its zone; the zero time costs a byte.
func (w *Writer) Time(t time.Time) {
	w.Flag(!t.IsZero())
	if !t.IsZero() {
		w.Number(t.Unix())
		w.Number(int64(t.Nanosecond()))
	}
}

// Reader takes out one after the other what a Writer has put in. It trusts in that: another string may make it panic.
type Reader string

// Bytes takes n bytes, as a part of the string.
func (r *Reader) Bytes(n int64) string {
	s := (*r)[:n]
	*r = (*r)[n:]
	return string(s)
}

// Number takes a number.
func (r *Reader) Number() int64 {
	// binary.Varint is for bytes; what is packed here is mostly short.
	var n uint64
	for shift := 0; ; shift += 7 {
		b := (*r)[0]
		*r = (*r)[1:]
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(n>>1) ^ -int64(n&1)
		}
	}
}

// Text takes a text. It is a part of the string, and keeps that whole.
func (r *Reader) Text() string { return r.Bytes(r.Number()) }

// Texts takes a list of texts; nil for an empty one.
func (r *Reader) Texts() []string {
	n := r.Number()
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.Text()
	}
	return list
}

// Flag takes a boolean.
func (r *Reader) Flag() bool { return r.Number() != 0 }

// Time takes a time, in UTC.
func (r *Reader) Time() time.Time {
	if !r.Flag() {
		return time.Time{}
	}
	seconds := r.Number()
	return time.Unix(seconds, r.Number()).UTC()
}
