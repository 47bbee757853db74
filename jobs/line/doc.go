// Package line keeps deliveries in order. What an ordered endpoint gets, or what is published with an ordering key, is
// in a line of its endpoint: of its jobs one at a time is live, and the others wait in River's state pending, which
// nothing fetches, at the place of their events' times.
//
// [Keeper] releases the next delivery of a line when one has ended, [Watch] begins what stands still: a line's first
// delivery, and what somebody has left who died, or who ended a delivery without knowing of lines. [Block] stops an
// endpoint whose line must not go on.
package line
