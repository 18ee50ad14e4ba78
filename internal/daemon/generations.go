package daemon

import "github.com/certbridge/certbridged/internal/order"

// generationsBucket is the part of the journal that is the certificate store's own.
const generationsBucket = "generations"

// generations fits the journal to the certificate store.
type generations struct{ journal order.Journal }

// Write implements certstore.Journal.
func (g generations) Write(records map[string][]byte) error {
	return g.journal.Write(generationsBucket, records)
}

// Read implements certstore.Journal.
func (g generations) Read(key string) ([]byte, error) { return g.journal.Read(generationsBucket, key) }

// Each implements certstore.Journal.
func (g generations) Each(visit func(key string, value []byte) error) error {
	return g.journal.Each(generationsBucket, visit)
}
