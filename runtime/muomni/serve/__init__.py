"""The server: OpenAI's interfaces over one engine. Needs the extra ``muomni[serve]``."""
