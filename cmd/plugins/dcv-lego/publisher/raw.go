package publisher

import (
	"os"

	"github.com/go-acme/lego/v4/platform/config/env"
)

// isRaw reports that one of lego's two providers for programs of one's own hands over a key authorization and no record.
func isRaw(provider string) bool {
	switch provider {
	case "exec":
		return os.Getenv("EXEC_MODE") == "RAW"
	case "httpreq":
		return env.GetOrFile("HTTPREQ_MODE") == "RAW"
	default:
		return false
	}
}
