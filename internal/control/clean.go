package control

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// clean makes all text of a message valid UTF-8. Text comes from CAs, commands and files; one odd byte in a command's
// output must not make the whole status unreadable, for protobuf refuses to encode it.
func clean[M proto.Message](m M) M {
	cleanMessage(m.ProtoReflect())
	return m
}

func cleanMessage(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsMap():
			// Only google.protobuf.Struct has one, and its constructor has checked the text.
		case field.IsList():
			cleanList(field, v.List())
		case field.Kind() == protoreflect.StringKind:
			m.Set(field, protoreflect.ValueOfString(validText(v.String())))
		case field.Kind() == protoreflect.MessageKind:
			cleanMessage(v.Message())
		}
		return true
	})
}

func cleanList(field protoreflect.FieldDescriptor, list protoreflect.List) {
	for i := range list.Len() {
		switch field.Kind() {
		case protoreflect.StringKind:
			list.Set(i, protoreflect.ValueOfString(validText(list.Get(i).String())))
		case protoreflect.MessageKind:
			cleanMessage(list.Get(i).Message())
		}
	}
}

func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
