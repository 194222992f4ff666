"""Empty: nothing here transforms, but array_api_compat imports it."""
