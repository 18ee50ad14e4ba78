package order_test

import (
	"bytes"
	"crypto/x509"
	"reflect"
	"testing"
)

// spill writes every byte and every letter that a value holds, however deep.
func spill(to *bytes.Buffer, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		to.WriteString(v.String())
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			spill(to, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			spill(to, v.Field(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			spill(to, k)
			spill(to, v.MapIndex(k))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			to.Write(v.Bytes())
			return
		}
		for i := range v.Len() {
			spill(to, v.Index(i))
		}
	}
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
