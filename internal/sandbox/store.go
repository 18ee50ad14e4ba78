package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Store keeps one JSON document in a file of a folder. The zero value keeps nothing.
type Store struct {
	// Dir is the folder, empty for a stand-in that forgets.
	Dir string
	// Name is the file's name in it.
	Name string
}

// Load reads the document into v and reports whether there was one.
func (s Store) Load(v any) (bool, error) {
	if s.Dir == "" {
		return false, nil
	}
	file := filepath.Join(s.Dir, s.Name)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the stand-in's state: %w", err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return false, fmt.Errorf("%s is not the state of a stand-in (remove the file to begin anew): %w", file, err)
	}
	return true, nil
}

// Save writes the document so that a reader, also after a crash, finds the old one or the new one.
func (s Store) Save(v any) error {
	if s.Dir == "" {
		return nil
	}
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("encode the stand-in's state: %w", err)
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("make the stand-in's folder: %w", err)
	}
	return WriteFile(filepath.Join(s.Dir, s.Name), text, 0o600)
}

// WriteFile replaces a file atomically: a temporary file in the same folder, synced and renamed, then the folder synced.
func WriteFile(file string, text []byte, mode fs.FileMode) (err error) {
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", file, err)
		}
	}()
	if _, err = f.Write(text); err != nil {
		return err
	}
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), file); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
