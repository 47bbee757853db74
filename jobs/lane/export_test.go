package lane

// Remembered returns how many endpoints the gate remembers.
func (g *Gate) Remembered() int { return len(g.flows) }

// Remembered returns how many sites are remembered.
func (h *Hosts) Remembered() int { return len(h.sites) }
