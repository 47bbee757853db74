package lane

// Remembered returns how many endpoints the gate remembers.
func (g *Gate) Remembered() int { return len(g.flows) }
