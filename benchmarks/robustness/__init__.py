"""What commands survive."""
