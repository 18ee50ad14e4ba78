#!/bin/sh
# Makes the Python code of the contract in the folder gen, which is committed. Run it after a change of the contract,
# with protoc 3.21 (Debian's protobuf-compiler): the code of a newer one does not run on Debian's python3-protobuf.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
proto=$here/../../proto
rm -rf "$here/gen"
mkdir -p "$here/gen"
exec protoc -I "$here" -I "$proto" --python_out="$here/gen" \
	rpc_status.proto certbridge/plugin/v1/common.proto certbridge/plugin/v1/ca.proto
