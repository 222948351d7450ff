"""placeholder until the ruleset lands"""
