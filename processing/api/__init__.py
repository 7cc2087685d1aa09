"""What clients read and ask about jobs over HTTP: documents, lists, status, delivery of files."""
