package config

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// maxFile bounds the size of one configuration file, in bytes.
const maxFile = 4 << 20

// Options change how Load works. The zero value is right for the daemon.
type Options struct {
	// SkipSecrets leaves secrets unread and empty, for a user who has no right to read them.
	SkipSecrets bool
	// LookupEnv replaces os.LookupEnv.
	LookupEnv func(string) (string, bool)
}

// Load reads and checks the configuration whose main file is at path. Its error is an *Errors; errors.Is finds
// fs.ErrNotExist in it when a file is not there.
func Load(path string, opts Options) (*Config, error) {
	c, err := newChecker(path, opts)
	if err != nil {
		return nil, err
	}
	names, err := confD(c.dir)
	if err != nil {
		c.problems = append(c.problems, Problem{File: filepath.Join(c.dir, "conf.d"), Message: err.Error(), cause: err})
	}
	c.places.names = names
	c.readAll()
	cfg := c.config()
	c.sortProblems(c.problems)
	c.sortProblems(c.warnings)
	if len(c.problems) > 0 {
		return nil, &Errors{Problems: c.problems}
	}
	cfg.Warnings = c.warnings
	return cfg, nil
}

// LoadDaemon reads the [daemon] table of the main file alone: what a client of the control socket needs. It works
// while the rest of the configuration is wrong or may not be read.
func LoadDaemon(path string) (Daemon, error) {
	c, err := newChecker(path, Options{SkipSecrets: true})
	if err != nil {
		return Daemon{}, err
	}
	c.readAll()
	d := c.daemon()
	c.sortProblems(c.problems)
	if len(c.problems) > 0 {
		return Daemon{}, &Errors{Problems: c.problems}
	}
	return d, nil
}

// checker collects what is read and what is wrong with it.
type checker struct {
	opts     Options
	main     string // absolute
	dir      string // folder of the main file; relative paths start here
	sections map[string][]Entry
	places   placeIndex
	docs     []document
	// broken: a file could not be parsed, so names that seem unknown may stand in it.
	broken   bool
	problems []Problem
	warnings []Problem
	real     map[string]string    // folder to its real path
	rules    map[string][]DCVRule // by the one profile that serves all domains
}

// document is one file that was read. Of one that holds certificates alone, which may be one of a hundred thousand, there is
// just the text until its certificates are checked.
type document struct {
	path   string
	source int    // its number
	text   string // empty: it is parsed
	raw    map[string]any
	root   *mark
}

// top is the table that a parsed document is.
func (c *checker) top(d document) *table { return c.table(d.path, "", d.raw, d.root, sectionTop) }

func newChecker(path string, opts Options) (*checker, error) {
	main, err := filepath.Abs(path)
	if err != nil {
		err = fmt.Errorf("find the folder of %s: %w", path, err)
		return nil, &Errors{Problems: []Problem{{File: path, Message: err.Error(), cause: err}}}
	}
	if opts.LookupEnv == nil {
		opts.LookupEnv = os.LookupEnv
	}
	c := &checker{
		opts: opts, main: main, dir: filepath.Dir(main),
		sections: map[string][]Entry{}, places: newPlaceIndex(main),
		real: map[string]string{}, rules: map[string][]DCVRule{},
	}
	for _, s := range Reference() {
		c.sections[s.Name] = s.Entries
	}
	return c, nil
}

// part is a checker beside c that may work at the same time, on documents of its own.
func (c *checker) part() *checker {
	part := *c
	part.broken, part.problems, part.warnings = false, nil, nil
	part.real, part.rules = map[string]string{}, map[string][]DCVRule{}
	return &part
}

// confD lists the names of conf.d/*.toml in lexical order. Hidden files, such as those of editors, do not count.
func confD(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "conf.d"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list configuration files: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".toml") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return slices.Clip(names), nil
}

// readAll reads the files, several at once: there may be one for each of thousands of certificates. Those that hold more than
// certificates are parsed.
func (c *checker) readAll() {
	n := c.places.len()
	c.docs, c.places.sums = make([]document, n), make([]uint64, n)
	found := make([]*Problem, n)
	sideBySide(n, func() func(int) {
		return func(i int) { c.docs[i], found[i] = c.read(i) }
	})
	for i, problem := range found {
		if problem != nil {
			c.refuse(c.docs[i], problem)
		}
	}
	c.docs = slices.DeleteFunc(c.docs, func(d document) bool { return d.text == "" && d.root == nil })
}

// sideBySide calls what worker makes with each number below n. Each of the workers has one of its own.
func sideBySide(n int, worker func() func(int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		do := worker()
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	workers.Wait()
}

// read reads the file of a number, and parses it unless it holds certificates alone.
func (c *checker) read(source int) (d document, problem *Problem) {
	d.path, d.source = c.places.path(source), source
	text, err := readFile(d.path)
	if err != nil {
		return d, &Problem{Message: err.Error(), cause: err}
	}
	c.places.sums[source] = maphash.String(c.places.seed, text)
	if certificatesAlone(text) {
		d.text = text
		return d, nil
	}
	d.raw, d.root, problem = parse(text)
	return d, problem
}

// certificatesAlone reports whether a text that is TOML surely has nothing in it but certificates. A header, which must have
// a line of its own, says what the lines after it are about.
func certificatesAlone(text string) bool {
	begun := false
	for line := range strings.Lines(text) {
		switch line = strings.TrimLeft(line, " \t"); {
		case strings.HasPrefix(line, "[[certificate]]"):
			begun = true
		case strings.HasPrefix(line, "["):
			if !strings.HasPrefix(line, "[certificate.") && !strings.HasPrefix(line, "[[certificate.") {
				return false
			}
			begun = true
		case !begun && line != "" && line[0] != '#' && line[0] != '\n' && line[0] != '\r':
			return false
		}
	}
	return begun
}

// refuse notes what is wrong with a file as a whole.
func (c *checker) refuse(d document, p *Problem) {
	c.broken = true
	p.File = d.path
	c.problems = append(c.problems, *p)
}

// parse reads a TOML text into tables and the lines of their keys.
func parse(text string) (map[string]any, *mark, *Problem) {
	if i := invalidUTF8(text); i >= 0 {
		return nil, nil, &Problem{Line: 1 + strings.Count(text[:i], "\n"), Message: "not UTF-8 text"}
	}
	root, markErr := markLines(text)
	var deep *tooDeepError
	if errors.As(markErr, &deep) {
		return nil, nil, &Problem{Line: deep.line, Message: fmt.Sprintf("tables or lists are nested deeper than %d", maxDepth)}
	}
	raw := map[string]any{}
	if _, err := toml.Decode(text, &raw); err != nil {
		var syntax toml.ParseError
		if errors.As(err, &syntax) {
			// At the end of a text the parser may count a line that is not there, or none.
			line := min(max(syntax.Position.Line, 1), 1+strings.Count(text, "\n"))
			return nil, nil, &Problem{Line: line, Message: "not TOML: " + syntax.Message}
		}
		return nil, nil, &Problem{Message: "not TOML: " + err.Error()}
	}
	if markErr != nil {
		return nil, nil, &Problem{Message: markErr.Error()}
	}
	return raw, root, nil
}

// invalidUTF8 returns where a text stops being UTF-8, or -1.
func invalidUTF8(text string) int {
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}

func readFile(path string) (string, error) {
	// O_NONBLOCK: opening a pipe nobody writes to must not wait.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("read configuration: not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("read configuration: %w", err)
	}
	if len(data) > maxFile {
		return "", fmt.Errorf("read configuration: larger than %d bytes; split it into files under conf.d", maxFile)
	}
	return string(data), nil
}

func (c *checker) fail(file string, line int, path, message string) {
	c.problems = append(c.problems, Problem{File: file, Line: line, Path: path, Message: message})
}

func (c *checker) table(file, path string, raw map[string]any, at *mark, section string) *table {
	return &table{c: c, file: file, path: path, raw: raw, at: at, entries: c.sections[section]}
}

// resolve makes a path absolute: relative ones start at the main file's folder.
func (c *checker) resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(c.dir, path)
}

// realPath follows the symbolic links of a path as far as it exists, so that two spellings of one file are seen as one.
func (c *checker) realPath(path string) string {
	dir := filepath.Dir(path)
	real, ok := c.real[dir]
	if !ok {
		real = realDir(dir)
		c.real[dir] = real
	}
	path = filepath.Join(real, filepath.Base(path))
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink != 0 {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			return target
		}
	}
	return path
}

func realDir(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		return real
	}
	if parent := filepath.Dir(dir); parent != dir {
		return filepath.Join(realDir(parent), filepath.Base(dir))
	}
	return dir
}
