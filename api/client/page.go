package client

import "iter"

// Page is a page of a list.
type Page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// All goes through a list, page by page: list is called with "" and then with the cursor of each next page. It ends
// with an error, with the zero value, if a page can't be had.
//
//	for event, err := range client.All(func(cursor string) (*client.Page[client.Event], error) {
//		return c.ListEvents(ctx, client.ListEventsParams{Cursor: cursor})
//	}) {
func All[T any](list func(cursor string) (*Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := ""; ; {
			page, err := list(cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}

			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.NextCursor == nil {
				return
			}
			cursor = *page.NextCursor
		}
	}
}
