"""An agent that is killed and resumed: what the replay tests run in processes of their own."""
