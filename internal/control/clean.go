package control

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// clean makes all text of a message valid UTF-8. Text comes from CAs, commands and files; one odd byte in a command's
// output must not make the whole status unreadable, for protobuf refuses to encode it.
func clean[M proto.Message](m M) M {
	cleanMessage(m.ProtoReflect())
	return m
}

// cleanMessage changes nothing in place but the message's own fields: its lists may be the backend's.
func cleanMessage(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsMap():
			// Only google.protobuf.Struct has one, and its constructor has checked the text.
		case field.IsList() && field.Kind() == protoreflect.StringKind:
			cleanTexts(m, field, v.List())
		case field.IsList() && field.Kind() == protoreflect.MessageKind:
			for i := range v.List().Len() {
				cleanMessage(v.List().Get(i).Message())
			}
		case field.Kind() == protoreflect.StringKind && !field.IsList():
			if !utf8.ValidString(v.String()) {
				m.Set(field, protoreflect.ValueOfString(validText(v.String())))
			}
		case field.Kind() == protoreflect.MessageKind:
			cleanMessage(v.Message())
		}
		return true
	})
}

// cleanTexts puts a new list in the place of one that holds odd text.
func cleanTexts(m protoreflect.Message, field protoreflect.FieldDescriptor, list protoreflect.List) {
	valid := true
	for i := range list.Len() {
		valid = valid && utf8.ValidString(list.Get(i).String())
	}
	if valid {
		return
	}
	fresh := m.NewField(field)
	for i := range list.Len() {
		fresh.List().Append(protoreflect.ValueOfString(validText(list.Get(i).String())))
	}
	m.Set(field, fresh)
}

func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
