package udp

// ST 2022-1 sends recovery columns and rows beside the media.
const (
	portColumns = 2
	portRows    = 4
)
