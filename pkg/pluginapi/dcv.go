package pluginapi

import (
	"context"
	"time"
)

// DCV is what a domain control plugin does. One process serves one DCV profile; Configure is called once, before
// everything but Describe. Every method must return when its context ends.
type DCV interface {
	// Describe says what the plugin is. It needs no configuration and reaches no network.
	Describe(ctx context.Context) (DCVDescription, error)
	// Configure takes the profile's settings and says what the profile can publish.
	Configure(ctx context.Context, profile DCVProfile) (DCVConfigured, error)
	// Publish puts up what a challenge asks for, beside what is there already. It is safe to repeat. The receipt comes
	// back in Withdraw. A DNS record's name is final: the daemon has followed CNAME records to the place where the CA's
	// resolver will end.
	Publish(ctx context.Context, challenge Challenge) (receipt []byte, err error)
	// Withdraw takes down what Publish put up and nothing else; what is gone already is a success. It must work in a
	// new process and without a receipt, for the answer of Publish may have been lost.
	Withdraw(ctx context.Context, challenge Challenge, receipt []byte) error
}

// DCVProfile is a DCV profile's settings and what it needs to know of its surroundings.
type DCVProfile struct {
	Settings Settings
	// DNSResolvers are the resolvers to look DNS records up with, "host:port" with an IP address; empty means the
	// system's own.
	DNSResolvers []string
}

// DCVDescription says what a DCV plugin is.
type DCVDescription struct {
	Name, Version, Summary string
	Settings               []Field
}

// DCVConfigured says what a DCV profile can do.
type DCVConfigured struct {
	Findings  []Finding
	Abilities []PublishAbility
	// PropagationTimeout is how long propagation may take, PropagationInterval how often to look meanwhile; zero
	// leaves it to the daemon.
	PropagationTimeout, PropagationInterval time.Duration
	// Sequential: one challenge must be withdrawn before the next is published.
	Sequential bool
	// SequentialPerName: of two records of the same name, one must be withdrawn before the other is published.
	SequentialPerName bool
	// FilesIgnoreHost: a file is published by its path alone, and is one and the same for all hosts. Withdraw for one
	// host takes it from the others, so the daemon calls it for the last of them, and lets no two bodies stand at one
	// path.
	FilesIgnoreHost bool
}
