"""From rules and facts to findings with their reasons."""
