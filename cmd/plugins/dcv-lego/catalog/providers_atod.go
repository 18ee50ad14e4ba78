package catalog

// providersAToD are the providers from a to d.
func providersAToD() map[string]Provider {
	return map[string]Provider{}
}
