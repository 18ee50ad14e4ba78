// Package cadrive drives a CA plugin in process as the daemon drives it, so that the tests of a plugin say what is tried
// and not how: an order goes from the intent to its certificate, through whatever goes wrong on the way.
//
// A test needs a stand-in for the CA (internal/sandbox), a World that the stand-in looks at, and a Driver:
//
//	world := cadrive.NewWorld(t)
//	server := ... // the stand-in, with Look: world.Look()
//	d := cadrive.New(t, cadrive.Options[*example.CA]{
//		World: world, Roots: server.RootsPEM, Now: server.Now, Secrets: []string{key},
//		Start:    func(log *slog.Logger) *example.CA { return example.New(example.Options{Logger: log}) },
//		Settings: func() pluginapi.Settings { return settings }, // of the account
//	})
//	url := d.Serve(server)
//	order := d.Order(pluginapi.Settings{Values: map[string]any{"product": "x"}}, "shop.example.com", "*.example.com")
//	issued := d.MustIssue(order)
//	again := d.MustIssue(d.Follow(pluginapi.Reissue, order, issued))
//	cadrive.WantSpent(t, server, 1, 1)
//
// The plugin is killed after every call unless Killed is set to false: whatever it has to remember must be in its replies.
// Its log, its errors and its replies are searched for secrets.
//
// Matrix.Test is the proof that nothing is bought twice: every fault at every HTTP call, each with a fresh stand-in.
package cadrive
