# SPDX-License-Identifier: MIT
# One SVG from one data file of `hostmalloc bench --plot FOLDER`: gnuplot -e "folder='F'; axis='sizes'" plot.gnuplot
labels = "sizes:bytes_a_block threads:threads_on_the_processors_there_are live:live_blocks"
label = ""
do for [entry in labels] {
    if (entry[1:strstrt(entry, ":") - 1] eq axis) { label = entry[strstrt(entry, ":") + 1:] }
}
file = folder . "/" . axis . ".dat"
stats file using 1 nooutput
blocks = STATS_blocks

set terminal svg size 960,540 font "sans,13" background "white"
set output folder . "/" . axis . ".svg"
set title "Churn, against mimalloc called directly: median and quartiles"
set xlabel system("printf %s " . label . " | tr _ ' '")
set ylabel "ratio, lower is better"
set logscale x (axis eq "live" ? 10 : 2)
set logscale y 2
set grid
set key outside right noenhanced
plot for [i = 0:blocks - 1] file index i using 1:2:3:4 with yerrorlines pointtype 7 pointsize 0.5 title columnheader(1)
