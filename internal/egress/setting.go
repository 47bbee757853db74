package egress

import (
	"fmt"
	"strconv"
	"strings"
)

// ParsePorts reads a comma-separated list of ports, for example "80,443". Spaces around an item are ignored; "any" is
// the empty list, which means any port. Errors name the item.
func ParsePorts(s string) ([]uint16, error) {
	if strings.TrimSpace(s) == "any" {
		return nil, nil
	}

	var ports []uint16
	for item := range strings.SplitSeq(s, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(item), 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("port %q: write numbers from 1 to 65535 like 80,443, or any", strings.TrimSpace(item))
		}
		ports = append(ports, uint16(n))
	}
	return ports, nil
}
