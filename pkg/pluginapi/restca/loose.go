package restca

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Such APIs send numbers as text and text as numbers, null or nothing for what is empty, and one object for a list of
// one. These types take all of it; what they cannot make sense of is their zero value, never an error.

// ID is a number that names something; zero is none.
type ID int64

// UnmarshalJSON takes a number or text.
func (i *ID) UnmarshalJSON(text []byte) error {
	*i = 0
	s := strings.TrimSpace(unquote(text))
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		*i = ID(max(n, 0))
	} else if f, err := strconv.ParseFloat(s, 64); err == nil && f > 0 && f < 1<<53 && f == math.Trunc(f) {
		*i = ID(f)
	}
	return nil
}

// String returns the number in decimal.
func (i ID) String() string { return strconv.FormatInt(int64(i), 10) }

// Text is a string, or what can stand for one.
type Text string

// UnmarshalJSON takes text, a number or a truth value.
func (t *Text) UnmarshalJSON(text []byte) error {
	*t = ""
	if len(text) > 0 && text[0] != '{' && text[0] != '[' {
		*t = Text(unquote(text))
	}
	return nil
}

// Flag is true or false.
type Flag bool

// UnmarshalJSON takes true, 1, "1" and "true"; all else is false.
func (f *Flag) UnmarshalJSON(text []byte) error {
	switch strings.ToLower(unquote(text)) {
	case "1", "true", "yes":
		*f = true
	default:
		*f = false
	}
	return nil
}

// Time is an instant, or a day as its midnight in UTC.
type Time struct{ time.Time }

// UnmarshalJSON takes the usual forms of time.
func (t *Time) UnmarshalJSON(text []byte) error {
	t.Time = time.Time{}
	s := unquote(text)
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05-0700", time.DateTime, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			t.Time = at
			return nil
		}
	}
	return nil
}

// List is a list; null and "" are empty ones, and a value on its own is a list of one.
type List[T any] []T

// UnmarshalJSON takes a list or one value. Elements that are null, or of a wrong type throughout, are left out.
func (l *List[T]) UnmarshalJSON(text []byte) error {
	*l = nil
	text = bytes.TrimSpace(text)
	parts := []json.RawMessage{text}
	if len(text) > 0 && text[0] == '[' {
		parts = nil // a fresh one: elements must not be written over the text
		if json.Unmarshal(text, &parts) != nil {
			parts = nil
		}
	}
	for _, p := range parts {
		if isNothing(p) {
			continue
		}
		var one T
		err := json.Unmarshal(p, &one)
		var loose *json.UnmarshalTypeError
		if err == nil || errors.As(err, &loose) && p[0] == '{' { // an object keeps those of its fields that fit
			*l = append(*l, one)
		}
	}
	return nil
}

func isNothing(text []byte) bool {
	text = bytes.TrimSpace(text)
	return len(text) == 0 || string(text) == "null" || string(text) == `""`
}

// unquote returns what a JSON scalar says; null is nothing.
func unquote(text []byte) string {
	if string(text) == "null" {
		return ""
	}
	if len(text) > 0 && text[0] == '"' {
		var s string
		if json.Unmarshal(text, &s) != nil {
			return ""
		}
		return s
	}
	return string(text)
}

// Decode reads one JSON object. Fields whose type is another than expected are left out: the types of such APIs are
// loose, and who needs a field looks whether it is there. What is no JSON object is Garbage.
func Decode(body []byte, into any) error {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || body[0] != '{' {
		return NewGarbage("not a JSON object", body)
	}
	err := json.Unmarshal(body, into)
	var loose *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &loose) {
		return NewGarbage("broken or cut off", body)
	}
	return nil
}
