"""When the beam is where: from trigger edges or a shared clock to scan positions."""
