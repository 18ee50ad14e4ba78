package catalog

// providersNToZ are the providers from n to z.
func providersNToZ() map[string]Provider {
	return map[string]Provider{}
}
