package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxDepth bounds how deep tables and lists may be nested; deeper files are refused before anything walks them.
const maxDepth = 32

// errNotParsed is what markLines says about a text that the toml package would not take either.
var errNotParsed = errors.New("cannot tell the lines of its keys")

// tooDeepError says on which line nesting goes too deep.
type tooDeepError struct{ line int }

func (e *tooDeepError) Error() string {
	return fmt.Sprintf("line %d: tables or lists are nested deeper than %d", e.line, maxDepth)
}

// mark is where a key or the element of a list stands, and the marks below it.
type mark struct {
	line  int
	keys  map[string]*mark
	items []*mark
}

func (m *mark) child(key string, line int) *mark {
	if c, ok := m.keys[key]; ok {
		return c
	}
	if m.keys == nil {
		m.keys = make(map[string]*mark)
	}
	c := &mark{line: line}
	m.keys[key] = c
	return c
}

// below returns the mark of a key, or m itself when the key is not written.
func (m *mark) below(key string) *mark {
	if c, ok := m.keys[key]; ok {
		return c
	}
	return m
}

// item returns the mark of a list's element, or m itself.
func (m *mark) item(i int) *mark {
	if i < len(m.items) {
		return m.items[i]
	}
	return m
}

// markLines finds the line of every key and list element of a TOML text. The toml package checks the syntax; markLines
// relies on that and reports errNotParsed for what it does not understand.
func markLines(text string) (*mark, error) {
	text = strings.TrimPrefix(text, "\xef\xbb\xbf")
	root := &mark{line: 1}
	s := &scanner{text: text, line: 1}
	current, depth := root, 0
	for {
		s.skipBlank()
		if s.done() {
			return root, nil
		}
		if s.peek() == '[' {
			next, n, err := s.header(root)
			if err != nil {
				return nil, err
			}
			current, depth = next, n
			continue
		}
		if err := s.keyValue(current, depth); err != nil {
			return nil, err
		}
	}
}

type scanner struct {
	text string
	at   int
	line int
}

func (s *scanner) done() bool { return s.at >= len(s.text) }

// peek returns the next byte, or 0 at the end; TOML texts hold no NUL.
func (s *scanner) peek() byte {
	if s.done() {
		return 0
	}
	return s.text[s.at]
}

func (s *scanner) startsWith(prefix string) bool { return strings.HasPrefix(s.text[s.at:], prefix) }

// skip moves on by n bytes and counts the lines it leaves behind.
func (s *scanner) skip(n int) {
	n = min(n, len(s.text)-s.at)
	s.line += strings.Count(s.text[s.at:s.at+n], "\n")
	s.at += n
}

// skipSpace skips spaces within a line.
func (s *scanner) skipSpace() {
	for s.peek() == ' ' || s.peek() == '\t' {
		s.at++
	}
}

// skipBlank skips spaces, line ends and comments.
func (s *scanner) skipBlank() {
	for !s.done() {
		switch s.peek() {
		case ' ', '\t', '\r', '\n':
			s.skip(1)
		case '#':
			if end := strings.IndexByte(s.text[s.at:], '\n'); end >= 0 {
				s.skip(end)
			} else {
				s.at = len(s.text)
			}
		default:
			return
		}
	}
}

// header reads [a.b] or [[a.b]] and returns the table that the following keys belong to and its depth.
func (s *scanner) header(root *mark) (*mark, int, error) {
	line := s.line
	brackets := 1
	if s.startsWith("[[") {
		brackets = 2
	}
	s.skip(brackets)
	key, err := s.dottedKey(0)
	if err != nil {
		return nil, 0, err
	}
	s.skipSpace()
	if !s.startsWith("]]"[:brackets]) {
		return nil, 0, fmt.Errorf("%w: line %d: table header without end", errNotParsed, s.line)
	}
	s.skip(brackets)

	table := root
	for i, part := range key {
		table = table.child(part, line)
		last := i == len(key)-1
		switch {
		case last && brackets == 2:
			element := &mark{line: line}
			table.items = append(table.items, element)
			table = element
		case last:
			table.line = line
		case len(table.items) > 0:
			table = table.items[len(table.items)-1]
		}
	}
	return table, len(key), nil
}

// keyValue reads a.b = value into a table.
func (s *scanner) keyValue(table *mark, depth int) error {
	line := s.line
	key, err := s.dottedKey(depth)
	if err != nil {
		return err
	}
	s.skipSpace()
	if s.peek() != '=' {
		return fmt.Errorf("%w: line %d: key without value", errNotParsed, s.line)
	}
	s.skip(1)
	for _, part := range key {
		table = table.child(part, line)
	}
	s.skipSpace()
	return s.value(table, depth+len(key))
}

func (s *scanner) dottedKey(depth int) ([]string, error) {
	var key []string
	for {
		s.skipSpace()
		part, err := s.keyPart()
		if err != nil {
			return nil, err
		}
		key = append(key, part)
		if depth+len(key) > maxDepth {
			return nil, &tooDeepError{line: s.line}
		}
		s.skipSpace()
		if s.peek() != '.' {
			return key, nil
		}
		s.skip(1)
	}
}

func (s *scanner) keyPart() (string, error) {
	start := s.at
	switch s.peek() {
	case '"':
		s.quoted('"')
		// Escapes in keys are rare: let the TOML parser resolve them.
		var doc map[string]string
		if _, err := toml.Decode("k = "+s.text[start:s.at], &doc); err != nil {
			return "", fmt.Errorf("%w: line %d: key in quotes", errNotParsed, s.line)
		}
		return doc["k"], nil
	case '\'':
		s.quoted('\'')
		return strings.Trim(s.text[start:s.at], "'"), nil
	}
	for !s.done() && !strings.ContainsRune(" \t\r\n.=]}#,", rune(s.peek())) {
		s.at++
	}
	if s.at == start {
		return "", fmt.Errorf("%w: line %d: a key is missing", errNotParsed, s.line)
	}
	return s.text[start:s.at], nil
}

// value reads a value and notes the marks below it.
func (s *scanner) value(m *mark, depth int) error {
	if depth > maxDepth {
		return &tooDeepError{line: s.line}
	}
	switch {
	case s.startsWith(`"""`), s.startsWith(`'''`):
		s.multiLine(s.peek())
	case s.peek() == '"', s.peek() == '\'':
		s.quoted(s.peek())
	case s.peek() == '[':
		return s.list(m, depth)
	case s.peek() == '{':
		return s.inlineTable(m, depth)
	default:
		end := strings.IndexAny(s.text[s.at:], ",]}#\n")
		if end < 0 {
			end = len(s.text) - s.at
		}
		s.skip(end)
	}
	return nil
}

func (s *scanner) list(m *mark, depth int) error {
	s.skip(1)
	for {
		s.skipBlank()
		switch s.peek() {
		case 0:
			return fmt.Errorf("%w: line %d: list without end", errNotParsed, s.line)
		case ']':
			s.skip(1)
			return nil
		case ',':
			s.skip(1)
		default:
			element := &mark{line: s.line}
			m.items = append(m.items, element)
			before := s.at
			if err := s.value(element, depth+1); err != nil {
				return err
			}
			if s.at == before {
				return fmt.Errorf("%w: line %d: a list's element is missing", errNotParsed, s.line)
			}
		}
	}
}

func (s *scanner) inlineTable(m *mark, depth int) error {
	s.skip(1)
	for {
		s.skipBlank()
		switch s.peek() {
		case 0:
			return fmt.Errorf("%w: line %d: table without end", errNotParsed, s.line)
		case '}':
			s.skip(1)
			return nil
		case ',':
			s.skip(1)
		default:
			if err := s.keyValue(m, depth); err != nil {
				return err
			}
		}
	}
}

// quoted skips a string on one line.
func (s *scanner) quoted(quote byte) {
	s.skip(1)
	for !s.done() && s.peek() != quote && s.peek() != '\n' {
		if quote == '"' && s.peek() == '\\' {
			s.skip(1)
		}
		s.skip(1)
	}
	s.skip(1)
}

// multiLine skips a string in triple quotes. Up to two quotes may stand right before the closing three.
func (s *scanner) multiLine(quote byte) {
	s.skip(3)
	closing := strings.Repeat(string(quote), 3)
	for !s.done() && !s.startsWith(closing) {
		if quote == '"' && s.peek() == '\\' {
			s.skip(1)
		}
		s.skip(1)
	}
	s.skip(3)
	for range 2 {
		if s.peek() == quote {
			s.skip(1)
		}
	}
}
