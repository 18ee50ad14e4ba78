package checkup

import (
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/internal/certstore"
	"github.com/certbridge/certbridged/internal/config"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// onDisk looks at whether the files that are there can be used together: where they cannot, the daemon orders anew, which a
// person wants to know before it runs. Where none is there, or one may not be read by whoever checks, nothing is said.
func onDisk(c *config.Config, sets map[string][]certstore.File) []Remark {
	var remarks []Remark
	store := certstore.Open(nil, slog.New(slog.DiscardHandler)) // nothing is installed
	for name, files := range sets {
		set, err := store.Read(files)
		if err != nil || !slices.ContainsFunc(set.Files, func(f certstore.FileState) bool { return f.Exists }) || errors.Is(set.Err(), fs.ErrPermission) {
			continue
		}
		if err := set.Err(); err != nil {
			remarks = append(remarks, remark(c, pluginapi.Warning, []string{"certificate", name, "files"}, "the files on disk are no whole set: %s",
				strings.ReplaceAll(err.Error(), "\n", "; ")))
		}
	}
	return remarks
}
