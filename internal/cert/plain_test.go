package cert

import "testing"

// FuzzPlain: a name that is taken for spelled well already is what normalizing makes of it.
func FuzzPlain(f *testing.F) {
	for _, name := range []string{
		"", ".", "*", "*.", "*.*.example.com", "example.com", "*.example.com", "example.com.", "Example.com", "-a.com", "a-.com", "a--b.com", "xn--.com",
		"xn--bcher-kva.example", "bücher.example", "1.2.3.4", "1.2.3", "0x1.com", "a.1", "a.1b", "::1", "fe80::1%eth0", "a_b.com", "a..b", "com",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !plain(name) {
			return
		}
		if normal, err := normalize(name); err != nil || normal != name {
			t.Errorf("%q is taken as it is, and is %q, %v", name, normal, err)
		}
	})
}

func BenchmarkNormalizeName(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NormalizeName("www.shop.example.com"); err != nil {
			b.Fatal(err)
		}
	}
}
