package rtp

const (
	tsPacketSize = 188
	tsSyncByte   = 0x47
)
