"""What a person does about single orders: cancel one, see why one is Unknown, adopt one the Book never wrote."""
