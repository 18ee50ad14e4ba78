package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake or remark and where it stands.
type Problem struct {
	// File is the file's path, Line its line from 1 on; Line is 0 when it is about the file as a whole.
	File string `json:"file"`
	Line int    `json:"line"`
	// Path is the dotted path of the key, such as "certificate.shop.deploy.timeout"; empty when there is none.
	Path    string `json:"path"`
	Message string `json:"message"`

	cause error
	// unknown: a name is unknown, unless it stands in a file that could not be parsed.
	unknown bool
}

// String returns "file:line: path: message".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Errors are all the mistakes of a configuration, in the order of files and lines. There is at least one.
type Errors struct {
	Problems []Problem
}

// Error returns one line for each mistake.
func (e *Errors) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors of the operating system that lie beneath, for errors.Is.
func (e *Errors) Unwrap() []error {
	var causes []error
	for _, p := range e.Problems {
		if p.cause != nil {
			causes = append(causes, p.cause)
		}
	}
	return causes
}

// sortProblems puts problems in the order in which the files were read.
func (c *checker) sortProblems(problems []Problem) {
	rank := make(map[string]int, len(problems)) // of the files that have any
	for _, p := range problems {
		rank[p.File] = 0
	}
	for i := 0; i < c.places.len() && len(problems) > 1; i++ {
		path := c.places.path(i)
		if _, has := rank[path]; has {
			rank[path] = i
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank[a.File], rank[b.File]), cmp.Compare(a.Line, b.Line))
	})
}
