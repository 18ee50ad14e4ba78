package dcv

import "errors"

// ErrTurn is what Publish fails for when a profile publishes one challenge at a time and another one has its turn. It
// comes with the kind Unavailable, and words that name the other one.
var ErrTurn = errors.New("another challenge has its turn")
