package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

const (
	referenceDoc   = "../../docs/configuration.md"
	referenceBegin = "<!-- reference: written by go test ./internal/config -update -->\n"
	referenceEnd   = "<!-- end of reference -->\n"
)

// markdown writes the reference as tables.
func markdown() string {
	var b strings.Builder
	for _, s := range Reference() {
		title := "`[" + s.Name + "]`"
		switch s.Name {
		case sectionTop:
			title = "A file"
		case sectionCert:
			title = "`[[certificate]]`"
		case sectionFile:
			title = "A file of a certificate as a table"
		case sectionVerify:
			title = "An element of `verify` as a table"
		case sectionSecret:
			title = "A secret reference"
		}
		fmt.Fprintf(&b, "### %s\n\n%s\n\n| key | type | default | meaning |\n|---|---|---|---|\n", title, s.Help)
		for _, e := range s.Entries {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", e.Name, e.Type, defaultText(e.Default), e.Help)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func defaultText(v any) string {
	switch v := v.(type) {
	case nil:
		return "–"
	case string:
		return fmt.Sprintf("`%q`", v)
	default:
		return fmt.Sprintf("`%v`", v)
	}
}

// TestReferenceDocument holds docs/configuration.md to the code: every key with type, default and meaning.
func TestReferenceDocument(t *testing.T) {
	text, err := os.ReadFile(referenceDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), referenceBegin)
	got, after, ok2 := strings.Cut(rest, referenceEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no reference part", referenceDoc)
	}
	want := "\n" + markdown()
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("the reference in %s is not what the code says; run go test ./internal/config -update", referenceDoc)
	}
	if err := os.WriteFile(referenceDoc, []byte(before+referenceBegin+want+referenceEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDocumentExamples loads every TOML block of docs/configuration.md that is a whole configuration.
func TestDocumentExamples(t *testing.T) {
	text, err := os.ReadFile(referenceDoc)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) == 0 {
		t.Fatal("no TOML in the document")
	}
	for _, block := range blocks {
		if !strings.Contains(block[1], "[[certificate]]") {
			if _, _, problem := parse(block[1]); problem != nil {
				t.Errorf("%s\n%s", problem, block[1])
			}
			continue
		}
		if _, err := Load(write(t, map[string]string{"config.toml": block[1]}), Options{SkipSecrets: true}); err != nil {
			t.Errorf("%v\n%s", err, block[1])
		}
	}
}

// TestEveryKeyIsRead gives every key of the reference a value of a type that none has, a date, and wants each to be
// named: a key that is documented but never read would be missing.
func TestEveryKeyIsRead(t *testing.T) {
	const date = "2026-01-01"
	templates := map[string]string{
		sectionTop:    "%s = " + date + "\n",
		sectionDaemon: "[daemon]\n%s = " + date + "\n",
		sectionCA:     "[ca.y]\n%s = " + date + "\n",
		sectionCert:   "[[certificate]]\n%s = " + date + "\n",
		sectionFiles:  "[[certificate]]\nname = \"a\"\nfiles.%s = " + date + "\n",
		sectionFile:   "[[certificate]]\nname = \"a\"\nfiles.jks.%s = " + date + "\n",
		sectionDeploy: "[[certificate]]\nname = \"a\"\nfiles.combined = \"a\"\ndeploy.%s = " + date + "\n",
		sectionVerify: "[[certificate]]\nname = \"a\"\nfiles.combined = \"a\"\ndeploy.verify.address = \"a:1\"\ndeploy.verify.%s = " + date + "\n",
		sectionSecret: "[ca.y]\nplugin = \"y\"\nsettings.k.%s = " + date + "\n",
	}
	for _, s := range Reference() {
		for _, e := range s.Entries {
			text := fmt.Sprintf(templates[s.Name], e.Name)
			switch {
			case s.Name == sectionDCV && e.Name == "webroot":
				text = "[dcv.y]\nwebroot = " + date + "\n"
			case s.Name == sectionDCV:
				text = fmt.Sprintf("[dcv.y]\n%s = %s\n", e.Name, date)
				if e.Name != "plugin" {
					text += "plugin = \"y\"\n"
				}
			case s.Name == sectionVerify && e.Name == "address":
				text = strings.Replace(text, "deploy.verify.address = \"a:1\"\n", "", 1)
			}
			_, err := Load(write(t, map[string]string{"config.toml": text}), Options{})
			found := false
			for _, p := range problems(t, err) {
				found = found || strings.HasSuffix(p.Path, e.Name) && !strings.Contains(p.Message, "unknown")
			}
			if !found {
				t.Errorf("[%s] %s is in the reference, but a date for it is not refused:\n%s%v", s.Name, e.Name, text, err)
			}
		}
	}
}
