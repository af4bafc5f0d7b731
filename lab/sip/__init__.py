"""SIP, SDP and RTP as far as a telephone needs them: UDP, IPv4, G.711 mu-law."""
