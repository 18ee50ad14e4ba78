package config

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"runtime"
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
	paths, err := confD(c.dir)
	if err != nil {
		c.problems = append(c.problems, Problem{File: filepath.Join(c.dir, "conf.d"), Message: err.Error(), cause: err})
	}
	for _, f := range readAll(append([]string{c.main}, paths...)) {
		c.take(f)
	}
	cfg := c.config()
	sortProblems(c.problems, c.sources)
	sortProblems(c.warnings, c.sources)
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
	c.take(read(c.main))
	d := c.daemon()
	sortProblems(c.problems, c.sources)
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
	sources  []string
	seed     maphash.Seed
	sums     []uint64 // of the text of each of sources
	docs     []document
	// broken: a file could not be parsed, so names that seem unknown may stand in it.
	broken   bool
	problems []Problem
	warnings []Problem
	real     map[string]string    // folder to its real path
	rules    map[string][]DCVRule // by the one profile that serves all domains
}

// document is one file that was parsed.
type document struct {
	path   string
	source int // its number
	top    *table
}

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
		sections: map[string][]Entry{}, real: map[string]string{}, rules: map[string][]DCVRule{}, seed: maphash.MakeSeed(),
	}
	for _, s := range Reference() {
		c.sections[s.Name] = s.Entries
	}
	return c, nil
}

// confD lists conf.d/*.toml in lexical order. Hidden files, such as those of editors, do not count.
func confD(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "conf.d"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list configuration files: %w", err)
	}
	var paths []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".toml") && !strings.HasPrefix(e.Name(), ".") {
			paths = append(paths, filepath.Join(dir, "conf.d", e.Name()))
		}
	}
	return paths, nil
}

// parsedFile is one file as it was read, or what is wrong with it.
type parsedFile struct {
	path, text string
	raw        map[string]any
	root       *mark
	problem    *Problem
}

// readAll reads and parses files, several at once: there may be one for each of thousands of certificates.
func readAll(paths []string) []parsedFile {
	files := make([]parsedFile, len(paths))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(paths)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(paths)); i = next.Add(1) - 1 {
				files[i] = read(paths[i])
			}
		})
	}
	workers.Wait()
	return files
}

// read parses one file.
func read(path string) parsedFile {
	f := parsedFile{path: path}
	text, err := readFile(path)
	if err != nil {
		f.problem = &Problem{Message: err.Error(), cause: err}
		return f
	}
	f.text = text
	f.raw, f.root, f.problem = parse(text)
	return f
}

// take adds a file to what is to be checked.
func (c *checker) take(f parsedFile) {
	source := len(c.sources)
	c.sources, c.sums = append(c.sources, f.path), append(c.sums, maphash.String(c.seed, f.text))
	if f.problem != nil {
		c.broken = true
		f.problem.File = f.path
		c.problems = append(c.problems, *f.problem)
		return
	}
	c.docs = append(c.docs, document{path: f.path, source: source, top: c.table(f.path, "", f.raw, f.root, sectionTop)})
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
