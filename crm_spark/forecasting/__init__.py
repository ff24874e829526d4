"""Behaviour over time: series, moving averages, autocorrelation, trend and season, forecasts."""
