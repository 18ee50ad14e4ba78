package control

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/certbridge/certbridged/proto/certbridge/control/v1"
)

// The functions come in pairs: xToWire and xFromWire. A nil message is the zero value.

func timeToWire(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeFromWire(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// each converts a list.
func each[A, B any](list []A, convert func(A) B) []B {
	if len(list) == 0 {
		return nil
	}
	out := make([]B, len(list))
	for i := range list {
		out[i] = convert(list[i])
	}
	return out
}

// maybe converts what is behind a pointer.
func maybe[A, B any](v *A, convert func(A) *B) *B {
	if v == nil {
		return nil
	}
	return convert(*v)
}

// maybeFrom converts a message that may be missing.
func maybeFrom[A, B any](m *A, convert func(*A) B) *B {
	if m == nil {
		return nil
	}
	v := convert(m)
	return &v
}

func infoToWire(i Info) *controlv1.InfoResponse {
	return &controlv1.InfoResponse{
		Version: i.Version, ConfigPath: i.ConfigPath, Pid: int32(i.PID), Started: timeToWire(i.Started),
		ConfigLoaded: timeToWire(i.ConfigLoaded), ConfigProblems: i.ConfigProblems,
	}
}

func infoFromWire(m *controlv1.InfoResponse) Info {
	return Info{
		Version: m.GetVersion(), ConfigPath: m.GetConfigPath(), PID: int(m.GetPid()), Started: timeFromWire(m.GetStarted()),
		ConfigLoaded: timeFromWire(m.GetConfigLoaded()), ConfigProblems: m.GetConfigProblems(),
	}
}

func certificateToWire(c Certificate) *controlv1.Certificate {
	return &controlv1.Certificate{
		Name: c.Name, Enabled: c.Enabled, Names: c.Names, Account: c.Account, Files: each(c.Files, fileToWire),
		Leaf: maybe(c.Leaf, leafToWire), Problem: c.Problem, Next: nextToWire(c.Next), Order: maybe(c.Order, orderToWire),
		Deployment: maybe(c.Deployment, deploymentToWire), CoverageEnd: timeToWire(c.CoverageEnd),
	}
}

func certificateFromWire(m *controlv1.Certificate) Certificate {
	return Certificate{
		Name: m.GetName(), Enabled: m.GetEnabled(), Names: m.GetNames(), Account: m.GetAccount(),
		Files: each(m.GetFiles(), fileFromWire), Leaf: maybeFrom(m.GetLeaf(), leafFromWire), Problem: m.GetProblem(),
		Next: nextFromWire(m.GetNext()), Order: maybeFrom(m.GetOrder(), orderFromWire),
		Deployment: maybeFrom(m.GetDeployment(), deploymentFromWire), CoverageEnd: timeFromWire(m.GetCoverageEnd()),
	}
}

func fileToWire(f File) *controlv1.File {
	return &controlv1.File{Form: f.Form, Path: f.Path, Problem: f.Problem}
}

func fileFromWire(m *controlv1.File) File {
	return File{Form: m.GetForm(), Path: m.GetPath(), Problem: m.GetProblem()}
}

func leafToWire(l Leaf) *controlv1.Leaf {
	return &controlv1.Leaf{
		Serial: l.Serial, Issuer: l.Issuer, Names: l.Names, NotBefore: timeToWire(l.NotBefore), NotAfter: timeToWire(l.NotAfter),
		KeyType: l.KeyType, Fingerprint: l.Fingerprint,
	}
}

func leafFromWire(m *controlv1.Leaf) Leaf {
	return Leaf{
		Serial: m.GetSerial(), Issuer: m.GetIssuer(), Names: m.GetNames(), NotBefore: timeFromWire(m.GetNotBefore()),
		NotAfter: timeFromWire(m.GetNotAfter()), KeyType: m.GetKeyType(), Fingerprint: m.GetFingerprint(),
	}
}

func nextToWire(n Next) *controlv1.Next {
	return &controlv1.Next{At: timeToWire(n.At), Due: n.Due, Reason: n.Reason, Detail: n.Detail}
}

func nextFromWire(m *controlv1.Next) Next {
	return Next{At: timeFromWire(m.GetAt()), Due: m.GetDue(), Reason: m.GetReason(), Detail: m.GetDetail()}
}

func orderToWire(o Order) *controlv1.Order {
	return &controlv1.Order{
		Id: o.ID, Certificate: o.Certificate, Account: o.Account, Kind: o.Kind, Phase: o.Phase, Status: o.Status, Detail: o.Detail,
		Reason: o.Reason, ReasonDetail: o.ReasonDetail, Reference: o.Reference, Names: o.Names, CostsMoney: o.CostsMoney, CostsUnknown: o.CostsUnknown,
		Price: maybe(o.Price, priceToWire), Hold: maybe(o.Hold, holdToWire), Action: maybe(o.Action, actionToWire),
		Publications: each(o.Publications, publicationToWire), Attempts: int32(o.Attempts), LastError: maybe(o.LastError, problemToWire),
		NextAt: timeToWire(o.NextAt), CoverageEnd: timeToWire(o.CoverageEnd), Created: timeToWire(o.Created), Updated: timeToWire(o.Updated),
		Deployment: maybe(o.Deployment, deploymentToWire),
	}
}

func orderFromWire(m *controlv1.Order) Order {
	return Order{
		ID: m.GetId(), Certificate: m.GetCertificate(), Account: m.GetAccount(), Kind: m.GetKind(), Phase: m.GetPhase(),
		Status: m.GetStatus(), Detail: m.GetDetail(), Reason: m.GetReason(), ReasonDetail: m.GetReasonDetail(),
		Reference: m.GetReference(), Names: m.GetNames(), CostsMoney: m.GetCostsMoney(), CostsUnknown: m.GetCostsUnknown(), Price: maybeFrom(m.GetPrice(), priceFromWire),
		Hold: maybeFrom(m.GetHold(), holdFromWire), Action: maybeFrom(m.GetAction(), actionFromWire),
		Publications: each(m.GetPublications(), publicationFromWire), Attempts: int(m.GetAttempts()),
		LastError: maybeFrom(m.GetLastError(), problemFromWire), NextAt: timeFromWire(m.GetNextAt()),
		CoverageEnd: timeFromWire(m.GetCoverageEnd()), Created: timeFromWire(m.GetCreated()), Updated: timeFromWire(m.GetUpdated()),
		Deployment: maybeFrom(m.GetDeployment(), deploymentFromWire),
	}
}

func priceToWire(p Price) *controlv1.Price {
	return &controlv1.Price{Amount: p.Amount, Currency: p.Currency}
}

func priceFromWire(m *controlv1.Price) Price {
	return Price{Amount: m.GetAmount(), Currency: m.GetCurrency()}
}

func holdToWire(h Hold) *controlv1.Hold {
	return &controlv1.Hold{Kind: h.Kind, Detail: h.Detail, Since: timeToWire(h.Since)}
}

func holdFromWire(m *controlv1.Hold) Hold {
	return Hold{Kind: m.GetKind(), Detail: m.GetDetail(), Since: timeFromWire(m.GetSince())}
}

func actionToWire(a PersonAction) *controlv1.PersonAction {
	return &controlv1.PersonAction{Who: a.Who, What: a.What, Url: a.URL}
}

func actionFromWire(m *controlv1.PersonAction) PersonAction {
	return PersonAction{Who: m.GetWho(), What: m.GetWhat(), URL: m.GetUrl()}
}

func publicationToWire(p Publication) *controlv1.Publication {
	return &controlv1.Publication{Profile: p.Profile, Identifier: p.Identifier, Type: p.Type, Place: p.Place, Published: p.Published}
}

func publicationFromWire(m *controlv1.Publication) Publication {
	return Publication{
		Profile: m.GetProfile(), Identifier: m.GetIdentifier(), Type: m.GetType(), Place: m.GetPlace(), Published: m.GetPublished(),
	}
}

func problemToWire(p Problem) *controlv1.Problem {
	return &controlv1.Problem{Kind: p.Kind, Message: p.Message, At: timeToWire(p.At)}
}

func problemFromWire(m *controlv1.Problem) Problem {
	return Problem{Kind: m.GetKind(), Message: m.GetMessage(), At: timeFromWire(m.GetAt())}
}

func deploymentToWire(d Deployment) *controlv1.Deployment {
	return &controlv1.Deployment{
		Ok: d.OK, Stage: d.Stage, Message: d.Message, Output: d.Output, ExitCode: int32(d.ExitCode), At: timeToWire(d.At),
		Took: durationpb.New(d.Took), RolledBack: d.RolledBack, NextAt: timeToWire(d.NextAt),
	}
}

func deploymentFromWire(m *controlv1.Deployment) Deployment {
	return Deployment{
		OK: m.GetOk(), Stage: m.GetStage(), Message: m.GetMessage(), Output: m.GetOutput(), ExitCode: int(m.GetExitCode()),
		At: timeFromWire(m.GetAt()), Took: m.GetTook().AsDuration(), RolledBack: m.GetRolledBack(), NextAt: timeFromWire(m.GetNextAt()),
	}
}

func renewalToWire(r Renewal) *controlv1.RenewResponse {
	return &controlv1.RenewResponse{
		Ordered: r.Ordered, Kind: r.Kind, Account: r.Account, Names: r.Names, Reason: r.Reason, Detail: r.Detail, CostsMoney: r.CostsMoney,
		Price: maybe(r.Price, priceToWire), Order: maybe(r.Order, orderToWire), WouldHold: r.WouldHold, CostsUnknown: r.CostsUnknown,
	}
}

func renewalFromWire(m *controlv1.RenewResponse) Renewal {
	return Renewal{
		Ordered: m.GetOrdered(), Kind: m.GetKind(), Account: m.GetAccount(), Names: m.GetNames(), Reason: m.GetReason(),
		Detail: m.GetDetail(), CostsMoney: m.GetCostsMoney(), Price: maybeFrom(m.GetPrice(), priceFromWire),
		Order: maybeFrom(m.GetOrder(), orderFromWire), WouldHold: m.GetWouldHold(), CostsUnknown: m.GetCostsUnknown(),
	}
}

func pluginToWire(p Plugin) *controlv1.Plugin {
	return &controlv1.Plugin{
		File: p.File, Kind: p.Kind, Name: p.Name, Version: p.Version, State: p.State, Reason: p.Reason,
		Pids: each(p.PIDs, func(pid int) int32 { return int32(pid) }), Restarts: int32(p.Restarts), Sha256: p.SHA256, Users: p.Users,
	}
}

func pluginFromWire(m *controlv1.Plugin) Plugin {
	return Plugin{
		File: m.GetFile(), Kind: m.GetKind(), Name: m.GetName(), Version: m.GetVersion(), State: m.GetState(), Reason: m.GetReason(),
		PIDs: each(m.GetPids(), func(pid int32) int { return int(pid) }), Restarts: int(m.GetRestarts()), SHA256: m.GetSha256(), Users: m.GetUsers(),
	}
}

func descriptionToWire(d PluginDescription) *controlv1.DescribePluginResponse {
	return &controlv1.DescribePluginResponse{
		Plugin: pluginToWire(d.Plugin), Summary: d.Summary, Abilities: d.Abilities, ChallengeTypes: d.ChallengeTypes,
		OrdersCostMoney: d.OrdersCostMoney, Settings: each(d.Settings, settingToWire), OrderSettings: each(d.OrderSettings, settingToWire),
	}
}

func descriptionFromWire(m *controlv1.DescribePluginResponse) PluginDescription {
	return PluginDescription{
		Plugin: pluginFromWire(m.GetPlugin()), Summary: m.GetSummary(), Abilities: m.GetAbilities(), ChallengeTypes: m.GetChallengeTypes(),
		OrdersCostMoney: m.GetOrdersCostMoney(), Settings: each(m.GetSettings(), settingFromWire),
		OrderSettings: each(m.GetOrderSettings(), settingFromWire),
	}
}

func settingToWire(s Setting) *controlv1.Setting {
	out := &controlv1.Setting{
		Path: s.Path, Type: s.Type, Required: s.Required, Secret: s.Secret, AllowedValues: each(s.Allowed, valueToWire), Help: s.Help,
	}
	if s.Default != nil {
		out.DefaultValue = valueToWire(s.Default)
	}
	return out
}

func settingFromWire(m *controlv1.Setting) Setting {
	out := Setting{
		Path: m.GetPath(), Type: m.GetType(), Required: m.GetRequired(), Secret: m.GetSecret(),
		Allowed: each(m.GetAllowedValues(), (*structpb.Value).AsInterface), Help: m.GetHelp(),
	}
	if m.GetDefaultValue() != nil {
		out.Default = m.GetDefaultValue().AsInterface()
	}
	return out
}

// valueToWire converts a value of a plugin's schema; one that JSON cannot hold is left out.
func valueToWire(v any) *structpb.Value {
	out, err := structpb.NewValue(v)
	if err != nil {
		return structpb.NewNullValue()
	}
	return out
}

func plannedToWire(p PlannedAct) *controlv1.PlannedAct {
	return &controlv1.PlannedAct{
		At: timeToWire(p.At), Certificate: p.Certificate, Account: p.Account, Kind: p.Kind, Reason: p.Reason, Detail: p.Detail,
		CostsMoney: p.CostsMoney,
	}
}

func plannedFromWire(m *controlv1.PlannedAct) PlannedAct {
	return PlannedAct{
		At: timeFromWire(m.GetAt()), Certificate: m.GetCertificate(), Account: m.GetAccount(), Kind: m.GetKind(), Reason: m.GetReason(),
		Detail: m.GetDetail(), CostsMoney: m.GetCostsMoney(),
	}
}

func eventToWire(e Event) *controlv1.Event {
	return &controlv1.Event{
		At: timeToWire(e.At), Level: e.Level, Type: e.Type, Message: e.Message, Certificate: e.Certificate, Order: e.Order,
		Account: e.Account, Plugin: e.Plugin,
	}
}

func eventFromWire(m *controlv1.Event) Event {
	return Event{
		At: timeFromWire(m.GetAt()), Level: m.GetLevel(), Type: m.GetType(), Message: m.GetMessage(), Certificate: m.GetCertificate(),
		Order: m.GetOrder(), Account: m.GetAccount(), Plugin: m.GetPlugin(),
	}
}

func stepToWire(s ProfileTestStep) *controlv1.TestProfileResponse {
	return &controlv1.TestProfileResponse{
		Step: s.Step, Ok: s.OK, Message: s.Message, Answers: each(s.Answers, answerToWire), Took: durationpb.New(s.Took),
	}
}

func stepFromWire(m *controlv1.TestProfileResponse) ProfileTestStep {
	return ProfileTestStep{
		Step: m.GetStep(), OK: m.GetOk(), Message: m.GetMessage(), Answers: each(m.GetAnswers(), answerFromWire), Took: m.GetTook().AsDuration(),
	}
}

func answerToWire(a ServerAnswer) *controlv1.ServerAnswer {
	return &controlv1.ServerAnswer{
		Server: a.Server, Address: a.Address, Values: a.Values, Seen: a.Seen, Problem: a.Problem, Took: durationpb.New(a.Took),
	}
}

func answerFromWire(m *controlv1.ServerAnswer) ServerAnswer {
	return ServerAnswer{
		Server: m.GetServer(), Address: m.GetAddress(), Values: m.GetValues(), Seen: m.GetSeen(), Problem: m.GetProblem(), Took: m.GetTook().AsDuration(),
	}
}
