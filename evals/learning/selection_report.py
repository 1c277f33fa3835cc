def write_report(out, results, methods, set_ups):
    return ""
