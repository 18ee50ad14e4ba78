package catalog

// providersEToM are the providers from e to m.
func providersEToM() map[string]Provider {
	return map[string]Provider{}
}
