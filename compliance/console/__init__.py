"""Pages for people: the province and one facility, in Chinese and English."""
